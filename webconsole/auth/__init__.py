"""Who is asking: accounts, passwords, second factors, sessions and the throttle before them."""
