"""The store: the database, and nothing else knows SQLAlchemy."""
