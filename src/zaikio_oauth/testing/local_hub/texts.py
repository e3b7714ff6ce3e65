"""What the local Hub says, in English and German."""

from __future__ import annotations

__all__ = ["TEXTS", "permission"]

TEXTS: dict[str, dict[str, str]] = {
    "en": {
        "language": "English",
        "local": "Local Hub for development. Nothing here is real.",
        "choose_account": "Choose an account",
        "to_continue": "to continue to",
        "signed_in": "signed in",
        "sign_up": "Create an account",
        "first_name": "First name",
        "last_name": "Last name",
        "email": "E-mail",
        "create": "Create account and continue",
        "wants_access": "would like access",
        "wants_connection": "would like to be installed for an organization",
        "wants_subscription": "would like your organization to subscribe",
        "may": "The app may",
        "choose_organization": "For which organization?",
        "no_organization": "You are not a member of the organization that this app asks for.",
        "new_organization": "The app suggests to create the organization",
        "on_behalf": "The app acts on your behalf, with your roles there:",
        "choose_plan": "Which plan?",
        "plan": "Plan",
        "confirm_email": "Please check that this is still your e-mail address:",
        "grant": "Allow",
        "cancel": "Cancel",
        "switch": "Use another account",
        "return": "You will be sent back to",
        "refused": "This does not work",
        "refused_hint": "The link that brought you here is wrong. Please tell the makers of the app.",
        "home": "A Zaikio Hub for your own machine",
        "home_text": "Apps that you develop log in here instead of at the real Hub. Everybody below can log in without "
        "a password; everything is forgotten when this Hub stops.",
        "apps": "Apps",
        "people": "People",
        "organizations": "Organizations",
        "confidential": "confidential",
        "public": "non-confidential",
    },
    "de": {
        "language": "Deutsch",
        "local": "Lokaler Hub für die Entwicklung. Nichts hier ist echt.",
        "choose_account": "Konto auswählen",
        "to_continue": "weiter zu",
        "signed_in": "angemeldet",
        "sign_up": "Konto anlegen",
        "first_name": "Vorname",
        "last_name": "Nachname",
        "email": "E-Mail",
        "create": "Konto anlegen und weiter",
        "wants_access": "möchte Zugriff",
        "wants_connection": "möchte für eine Organisation installiert werden",
        "wants_subscription": "bittet um ein Abonnement Ihrer Organisation",
        "may": "Die App darf",
        "choose_organization": "Für welche Organisation?",
        "no_organization": "Sie gehören der Organisation nicht an, um die diese App bittet.",
        "new_organization": "Die App schlägt vor, diese Organisation anzulegen:",
        "on_behalf": "Die App handelt in Ihrem Namen, mit Ihren Rollen dort:",
        "choose_plan": "Welcher Tarif?",
        "plan": "Tarif",
        "confirm_email": "Bitte prüfen Sie, ob dies noch Ihre E-Mail-Adresse ist:",
        "grant": "Erlauben",
        "cancel": "Abbrechen",
        "switch": "Anderes Konto verwenden",
        "return": "Sie kehren zurück zu",
        "refused": "Das geht so nicht",
        "refused_hint": "Der Link, der Sie hierher geführt hat, ist falsch. "
        "Bitte wenden Sie sich an den Hersteller der App.",
        "home": "Ein Zaikio Hub für Ihren eigenen Rechner",
        "home_text": "Apps, die Sie entwickeln, melden sich hier an statt am echten Hub. Alle unten können sich ohne "
        "Passwort anmelden; alles ist vergessen, wenn dieser Hub endet.",
        "apps": "Apps",
        "people": "Personen",
        "organizations": "Organisationen",
        "confidential": "vertraulich",
        "public": "nicht vertraulich",
    },
}

_KNOWN = {
    "en": {
        "person": "your name, e-mail address and memberships",
        "organization": "the organization's name and details",
        "organization_members": "the organization's members",
        "sites": "the organization's sites",
        "machines": "the organization's machines",
        "delegations": "handing permissions on to other apps",
    },
    "de": {
        "person": "Ihren Namen, Ihre E-Mail-Adresse und Mitgliedschaften",
        "organization": "Name und Daten der Organisation",
        "organization_members": "die Mitglieder der Organisation",
        "sites": "die Standorte der Organisation",
        "machines": "die Maschinen der Organisation",
        "delegations": "die Weitergabe von Rechten an andere Apps",
    },
}
_VERBS = {
    "en": {"r": "see", "w": "change", "rw": "see and change"},
    "de": {"r": "sehen", "w": "ändern", "rw": "sehen und ändern"},
}


def permission(scope: str, language: str) -> str:
    """A scope as a sentence for people."""
    app, _, rest = scope.partition(".")
    name, _, right = rest.partition(".")
    if app.startswith("subscription_create"):
        return {"en": "subscribe your organization", "de": "Ihre Organisation anmelden"}[language]
    thing = _KNOWN[language].get(name, f"{name.replace('_', ' ')} ({app})")
    verb = _VERBS[language].get(right, right)
    return f"{verb}: {thing}" if language == "en" else f"{thing} {verb}"
