"""Records in, words and HTML out. Pure; every text from a model or a user is escaped here."""
