"""The Hub on the wire. Only this package sends HTTP requests and knows JOSE."""
