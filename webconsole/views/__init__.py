"""The pages: one module a page, each with its blueprint; they never import each other."""
