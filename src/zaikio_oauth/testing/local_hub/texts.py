"""The texts of the local Hub's pages, in English and German."""

from __future__ import annotations

__all__ = ["TEXTS", "named", "permission"]

TEXTS: dict[str, dict[str, str]] = {
    "en": {
        "language": "English",
        "choose_language": "Language",
        "hub": "Zaikio (local)",
        "local": "Local Hub for development. Nothing here is real.",
        "choose_account": "Choose an account",
        "to_continue": "to continue to {app}",
        "signed_in": "signed in",
        "sign_up": "Create an account",
        "first_name": "First name",
        "last_name": "Last name",
        "email": "E-mail",
        "create": "Create account and continue",
        "allow_access": "Allow {app} to access your data?",
        "allow_installation": "Install {app} for your organization?",
        "allow_subscription": "Subscribe to {app} for your organization?",
        "may": "{app} may",
        "choose_organization": "For which organization?",
        "no_organization": "This request is for an organization that you do not belong to.",
        "new_organization": "New organization, suggested by the app",
        "choose_plan": "Which plan?",
        "plan": "Plan",
        "confirm_email": "Please check that this is still your e-mail address:",
        "grant": "Allow",
        "cancel": "Cancel",
        "switch": "Not you?",
        "return": "You will be redirected to {address}",
        "refused": "This request cannot be completed",
        "refused_hint": "Please go back to the app and try again. If this happens again, contact the app’s provider.",
        "refused_options": "If you are developing this app, start the local Hub with:",
        "expired_form": "This form has expired. Please start again.",
        "missing": "Page not found",
        "missing_hint": "The local Hub has no page at this address.",
        "to_home": "Go to the start page",
        "home": "A Zaikio Hub for local development",
        "home_text": "The apps that you develop use this Hub instead of the real one. Everyone listed below can log in "
        "without a password.",
        "home_lost": "All data is lost when this Hub stops.",
        "home_kept": "All data is kept when this Hub restarts.",
        "apps": "Apps",
        "people": "People",
        "organizations": "Organizations",
        "confidential": "with client secret",
        "public": "without client secret",
        "suggested_organization": "Name of your organization in the app:",
        "or_choose": "or choose an account",
        "for_organization": "For your organization",
        "no_organizations": "You do not belong to any organization yet.",
        "your_roles": "Your roles:",
        "may_on_behalf": "On your behalf, {app} may",
        "same_code": "Does your device show this code?",
        "device": "Connect a device",
        "device_text": "Enter the code that your device shows.",
        "code": "Code",
        "next": "Continue",
        "wrong_code": "This code is wrong or has expired. Please check it, or request a new one on your device.",
        "device_granted": "Your device is connected",
        "device_cancelled": "Your device is not connected",
        "device_back": "You can close this page and return to your device.",
    },
    "de": {
        "language": "Deutsch",
        "choose_language": "Sprache",
        "hub": "Zaikio (lokal)",
        "local": "Lokaler Hub für die Entwicklung. Alle Daten sind erfunden.",
        "choose_account": "Konto auswählen",
        "to_continue": "weiter zu {app}",
        "signed_in": "angemeldet",
        "sign_up": "Konto anlegen",
        "first_name": "Vorname",
        "last_name": "Nachname",
        "email": "E-Mail",
        "create": "Konto anlegen und weiter",
        "allow_access": "{app} den Zugriff auf Ihre Daten erlauben?",
        "allow_installation": "{app} für Ihre Organisation installieren?",
        "allow_subscription": "{app} für Ihre Organisation abonnieren?",
        "may": "{app} darf",
        "choose_organization": "Für welche Organisation?",
        "no_organization": "Diese Anfrage betrifft eine Organisation, der Sie nicht angehören.",
        "new_organization": "Neue Organisation (Vorschlag der App)",
        "choose_plan": "Welcher Tarif?",
        "plan": "Tarif",
        "confirm_email": "Bitte prüfen Sie, ob dies noch Ihre E-Mail-Adresse ist:",
        "grant": "Erlauben",
        "cancel": "Abbrechen",
        "switch": "Nicht Ihr Konto?",
        "return": "Sie werden weitergeleitet zu {address}",
        "refused": "Diese Anfrage kann nicht bearbeitet werden",
        "refused_hint": "Bitte kehren Sie zur App zurück und versuchen Sie es erneut. "
        "Tritt der Fehler wieder auf, wenden Sie sich bitte an den Anbieter der App.",
        "refused_options": "Wenn Sie diese App entwickeln, starten Sie den lokalen Hub mit:",
        "expired_form": "Dieses Formular ist abgelaufen. Bitte beginnen Sie von vorn.",
        "missing": "Seite nicht gefunden",
        "missing_hint": "Unter dieser Adresse hat der lokale Hub keine Seite.",
        "to_home": "Zur Startseite",
        "home": "Ein Zaikio Hub für die lokale Entwicklung",
        "home_text": "Die Apps, die Sie entwickeln, verwenden diesen Hub anstelle des echten. Alle unten aufgeführten "
        "Personen können sich ohne Passwort anmelden.",
        "home_lost": "Alle Daten gehen verloren, wenn dieser Hub beendet wird.",
        "home_kept": "Bei einem Neustart dieses Hubs bleiben alle Daten erhalten.",
        "apps": "Apps",
        "people": "Personen",
        "organizations": "Organisationen",
        "confidential": "mit Client-Secret",
        "public": "ohne Client-Secret",
        "suggested_organization": "Name Ihrer Organisation in der App:",
        "or_choose": "oder ein Konto auswählen",
        "for_organization": "Für Ihre Organisation",
        "no_organizations": "Sie gehören noch keiner Organisation an.",
        "your_roles": "Ihre Rollen:",
        "may_on_behalf": "In Ihrem Namen darf {app}",
        "same_code": "Zeigt Ihr Gerät diesen Code an?",
        "device": "Gerät verbinden",
        "device_text": "Geben Sie den Code ein, den Ihr Gerät anzeigt.",
        "code": "Code",
        "next": "Weiter",
        "wrong_code": "Dieser Code ist falsch oder abgelaufen. "
        "Bitte prüfen Sie ihn, oder fordern Sie auf Ihrem Gerät einen neuen an.",
        "device_granted": "Ihr Gerät ist verbunden",
        "device_cancelled": "Ihr Gerät ist nicht verbunden",
        "device_back": "Sie können diese Seite schließen und zu Ihrem Gerät zurückkehren.",
    },
}

_THINGS = {
    "en": {
        "person": "your name, your e-mail address and the organizations you belong to",
        "organization": "the organization’s name and details",
        "organization_members": "the organization’s members",
        "sites": "the organization’s sites",
        "machines": "the organization’s machines",
        "delegations": "the permissions that are passed on to other apps",
    },
    "de": {
        "person": "Ihren Namen, Ihre E-Mail-Adresse und Ihre Organisationen",
        "organization": "Name und Daten der Organisation",
        "organization_members": "die Mitglieder der Organisation",
        "sites": "die Standorte der Organisation",
        "machines": "die Maschinen der Organisation",
        "delegations": "die Weitergabe von Berechtigungen an andere Apps",
    },
}
_ANYTHING = {"en": "“{name}” in {app}", "de": "„{name}“ in {app}"}
_VERBS = {
    "en": {"r": "see", "w": "change", "rw": "see and change"},
    "de": {"r": "sehen", "w": "ändern", "rw": "sehen und ändern"},
}
_SUBSCRIBE = {
    "en": "Take out a subscription for your organization",
    "de": "Ein Abonnement für Ihre Organisation abschließen",
}
# The Hub's values for roles and kinds of organizations; any other value is shown unchanged.
_NAMES = {
    "en": {
        "owner": "Owner",
        "admin": "Administration",
        "billing": "Billing",
        "production": "Production",
        "purchasing": "Purchasing",
        "sales": "Sales",
        "printer": "Print shop",
        "supplier": "Supplier",
    },
    "de": {
        "owner": "Inhaber/in",
        "admin": "Administration",
        "billing": "Abrechnung",
        "production": "Produktion",
        "purchasing": "Einkauf",
        "sales": "Vertrieb",
        "printer": "Druckerei",
        "supplier": "Lieferant",
    },
}


def named(values: tuple[str, ...] | None, language: str) -> str:
    """Name roles, or kinds of organizations, in plain words."""
    return ", ".join(_NAMES[language].get(value, value) for value in values or ())


def permission(scope: str, language: str) -> str:
    """Describe a scope in plain words."""
    app, _, rest = scope.partition(".")
    name, _, right = rest.partition(".")
    if app.startswith("subscription_create"):
        return _SUBSCRIBE[language]
    unknown = _ANYTHING[language].format(name=name.replace("_", " "), app=app)
    thing = _THINGS[language].get(name, unknown)
    verb = _VERBS[language].get(right, right)
    sentence = f"{verb} {thing}" if language == "en" else f"{thing} {verb}"
    return sentence[0].upper() + sentence[1:]
