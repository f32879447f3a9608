"""Who asks a server, and what each may do: knows no HTTP."""
