"""What runs inside the sandbox: alone with the interpreter and PyAV, it imports nothing else of ours."""
