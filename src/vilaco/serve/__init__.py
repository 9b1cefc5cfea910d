"""The page and the HTTP API, for people who do not code and for programs that do."""
