"""The texts of the local Hub's pages, in English and German."""

from __future__ import annotations

__all__ = ["TEXTS", "permission"]

TEXTS: dict[str, dict[str, str]] = {
    "en": {
        "language": "English",
        "choose_language": "Language",
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
        "no_organization": "You are not a member of the organization that this app wants to access.",
        "new_organization": "New organization, suggested by the app",
        "choose_plan": "Which plan?",
        "plan": "Plan",
        "confirm_email": "Please check that this is still your e-mail address:",
        "grant": "Allow",
        "cancel": "Cancel",
        "switch": "Not you?",
        "return": "You will be redirected to",
        "refused": "This request cannot be completed",
        "refused_hint": "Please go back to the app and try again. If this happens again, contact the app's developers.",
        "home": "A Zaikio Hub for local development",
        "home_text": "The apps that you develop use this Hub instead of the real one. Everyone listed below can log in "
        "without a password.",
        "home_lost": "All data is lost when this Hub stops.",
        "home_kept": "A restart of this Hub loses nothing.",
        "apps": "Apps",
        "people": "People",
        "organizations": "Organizations",
        "confidential": "confidential",
        "public": "non-confidential",
        "suggested_organization": "The app knows your organization as",
        "or_choose": "or choose an account",
        "for_organization": "For your organization",
        "no_organizations": "You do not belong to any organization yet.",
        "your_roles": "Your roles:",
        "may_on_behalf": "On your behalf, the app may",
        "same_code": "Does your device show this code?",
        "device": "Connect a device",
        "device_text": "Enter the code shown on your device.",
        "code": "Code",
        "next": "Continue",
        "wrong_code": "No device is waiting for this code. Please check it, or request a new one on your device.",
        "device_granted": "Your device is connected",
        "device_cancelled": "Your device is not connected",
        "device_back": "You can close this page and return to your device.",
    },
    "de": {
        "language": "Deutsch",
        "choose_language": "Sprache",
        "local": "Lokaler Hub für die Entwicklung. Nichts hier ist echt.",
        "choose_account": "Konto auswählen",
        "to_continue": "weiter zu",
        "signed_in": "angemeldet",
        "sign_up": "Konto anlegen",
        "first_name": "Vorname",
        "last_name": "Nachname",
        "email": "E-Mail",
        "create": "Konto anlegen und weiter",
        "wants_access": "bittet um Zugriff",
        "wants_connection": "möchte für eine Organisation installiert werden",
        "wants_subscription": "bietet Ihrer Organisation ein Abonnement an",
        "may": "Die App darf",
        "choose_organization": "Für welche Organisation?",
        "no_organization": "Sie sind kein Mitglied der Organisation, auf die diese App zugreifen möchte.",
        "new_organization": "Neue Organisation (Vorschlag der App)",
        "choose_plan": "Welcher Tarif?",
        "plan": "Tarif",
        "confirm_email": "Bitte prüfen Sie, ob dies noch Ihre E-Mail-Adresse ist:",
        "grant": "Erlauben",
        "cancel": "Abbrechen",
        "switch": "Nicht Ihr Konto?",
        "return": "Sie werden weitergeleitet zu",
        "refused": "Diese Anfrage kann nicht ausgeführt werden",
        "refused_hint": "Bitte kehren Sie zur App zurück und versuchen Sie es erneut. "
        "Tritt der Fehler wieder auf, wenden Sie sich bitte an den Hersteller der App.",
        "home": "Ein Zaikio Hub für die lokale Entwicklung",
        "home_text": "Die Apps, die Sie entwickeln, verwenden diesen Hub anstelle des echten. Alle unten aufgeführten "
        "Personen können sich ohne Passwort anmelden.",
        "home_lost": "Alle Daten gehen verloren, wenn dieser Hub beendet wird.",
        "home_kept": "Bei einem Neustart dieses Hubs geht nichts verloren.",
        "apps": "Apps",
        "people": "Personen",
        "organizations": "Organisationen",
        "confidential": "vertraulich",
        "public": "nicht vertraulich",
        "suggested_organization": "Die App kennt Ihre Organisation als",
        "or_choose": "oder ein Konto auswählen",
        "for_organization": "Für Ihre Organisation",
        "no_organizations": "Sie sind noch in keiner Organisation Mitglied.",
        "your_roles": "Ihre Rollen:",
        "may_on_behalf": "In Ihrem Namen darf die App",
        "same_code": "Zeigt Ihr Gerät diesen Code an?",
        "device": "Gerät verbinden",
        "device_text": "Geben Sie den Code ein, den Ihr Gerät anzeigt.",
        "code": "Code",
        "next": "Weiter",
        "wrong_code": "Der Code ist ungültig oder abgelaufen. Bitte prüfen Sie ihn oder fordern Sie einen neuen an.",
        "device_granted": "Ihr Gerät wurde verbunden",
        "device_cancelled": "Ihr Gerät wurde nicht verbunden",
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
        "delegations": "the delegation of permissions to other apps",
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
    """Describe a scope in plain words."""
    app, _, rest = scope.partition(".")
    name, _, right = rest.partition(".")
    if app.startswith("subscription_create"):
        return {"en": "Subscribe your organization", "de": "Ein Abonnement für Ihre Organisation abschließen"}[language]
    thing = _KNOWN[language].get(name, f"{name.replace('_', ' ')} ({app})")
    verb = _VERBS[language].get(right, right)
    sentence = f"{verb} {thing}" if language == "en" else f"{thing} {verb}"
    return sentence[0].upper() + sentence[1:]
