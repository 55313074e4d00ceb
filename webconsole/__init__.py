"""The web console: what people see and do, and the only package that speaks HTTP."""
