"""The Hub on the wire: httpx lives here, and nowhere below or beside."""
