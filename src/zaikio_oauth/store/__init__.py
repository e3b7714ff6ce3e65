"""The database. Only this package knows SQLAlchemy and Alembic."""
