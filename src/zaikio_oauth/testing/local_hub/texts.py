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
        "new_organization": "New organization, suggested by the app",
        "choose_plan": "Which plan?",
        "plan": "Plan",
        "confirm_email": "Please check that this is still your e-mail address:",
        "grant": "Allow",
        "cancel": "Cancel",
        "switch": "Not you?",
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
        "suggested_organization": "The app knows your organization as",
        "or_choose": "or choose an account",
        "for_organization": "For your organization",
        "no_organizations": "You do not belong to any organization yet.",
        "your_roles": "Your roles there:",
        "may_on_behalf": "On your behalf, the app may",
        "same_code": "Is this the code on your device?",
        "device": "Connect a device",
        "device_text": "Type the code that your device shows.",
        "code": "Code",
        "next": "Continue",
        "wrong_code": "No device waits with this code. Please check it, or get a new one.",
        "device_granted": "Your device is connected",
        "device_cancelled": "Your device is not connected",
        "device_back": "You can close this page and go back to your device.",
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
        "new_organization": "Neue Organisation, von der App vorgeschlagen",
        "choose_plan": "Welcher Tarif?",
        "plan": "Tarif",
        "confirm_email": "Bitte prüfen Sie, ob dies noch Ihre E-Mail-Adresse ist:",
        "grant": "Erlauben",
        "cancel": "Abbrechen",
        "switch": "Nicht Sie?",
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
        "suggested_organization": "Die App kennt Ihre Organisation als",
        "or_choose": "oder Konto auswählen",
        "for_organization": "Für Ihre Organisation",
        "no_organizations": "Sie gehören noch keiner Organisation an.",
        "your_roles": "Ihre Rollen dort:",
        "may_on_behalf": "In Ihrem Namen darf die App",
        "same_code": "Steht dieser Code auf Ihrem Gerät?",
        "device": "Gerät verbinden",
        "device_text": "Geben Sie den Code ein, den Ihr Gerät zeigt.",
        "code": "Code",
        "next": "Weiter",
        "wrong_code": "Kein Gerät wartet auf diesen Code. Bitte prüfen Sie ihn, oder holen Sie einen neuen.",
        "device_granted": "Ihr Gerät ist verbunden",
        "device_cancelled": "Ihr Gerät ist nicht verbunden",
        "device_back": "Sie können diese Seite schließen und zu Ihrem Gerät zurückkehren.",
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
        return {"en": "Subscribe your organization", "de": "Ein Abonnement für Ihre Organisation abschließen"}[language]
    thing = _KNOWN[language].get(name, f"{name.replace('_', ' ')} ({app})")
    verb = _VERBS[language].get(right, right)
    sentence = f"{verb} {thing}" if language == "en" else f"{thing} {verb}"
    return sentence[0].upper() + sentence[1:]
