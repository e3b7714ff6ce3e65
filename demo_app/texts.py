"""All texts of Bogenlager: key → (English, German)."""

from __future__ import annotations

__all__ = ["TEXTS"]

TEXTS: dict[str, tuple[str, str]] = {
    # The frame around every page
    "brand.claim": ("Paper stock for print shops", "Papierlager für Druckereien"),
    "nav.label": ("Pages", "Seiten"),
    "nav.skip": ("Skip to the content", "Zum Inhalt springen"),
    "nav.me": ("My page", "Meine Seite"),
    "nav.organization": ("Organization", "Organisation"),
    "nav.log_in": ("Log in", "Anmelden"),
    "nav.log_out": ("Log out", "Abmelden"),
    "nav.language": ("Language", "Sprache"),
    "footer.demo": (
        "Bogenlager is not a real product. It is the demo of zaikio_oauth, a library for logging in with Zaikio.",
        "Bogenlager ist kein echtes Produkt, sondern die Demo der Bibliothek zaikio_oauth zur Anmeldung mit Zaikio.",
    ),
    "footer.hub": ("Zaikio Hub", "Zaikio Hub"),
    "notice.dismiss": ("Dismiss", "Schließen"),
    # Landing page
    "landing.title": ("Know your paper stock", "Wissen, welches Papier da ist"),
    "landing.headline": (
        "Know what paper you have before the job is on press.",
        "Wissen, welches Papier da ist, bevor der Auftrag in Druck geht.",
    ),
    "landing.lead": (
        (
            "Bogenlager counts every sheet in your warehouse and tells you in time what to order. "
            "Your team logs in with the Zaikio accounts they already have."
        ),
        (
            "Bogenlager zählt jeden Bogen in Ihrem Lager und zeigt rechtzeitig, was bestellt werden muss. "
            "Ihr Team meldet sich mit den Zaikio-Konten an, die es schon hat."
        ),
    ),
    "landing.ways": ("Get started", "Erste Schritte"),
    "login.title": ("For you", "Für Sie"),
    "login.text": (
        "Log in and see your own page. Bogenlager only reads your name, your e-mail address and where you work.",
        (
            "Melden Sie sich an und öffnen Sie Ihre Seite. "
            "Bogenlager liest nur Ihren Namen, Ihre E-Mail-Adresse und Ihre Organisationen."
        ),
    ),
    "login.action": ("Log in with Zaikio", "Mit Zaikio anmelden"),
    "login.open": ("Open my page", "Meine Seite öffnen"),
    "login.done": ("You are logged in.", "Sie sind angemeldet."),
    "install.title": ("For your print shop", "Für Ihre Druckerei"),
    "install.text": (
        "Let Bogenlager work for your organization, even at night, when nobody is logged in.",
        "Bogenlager arbeitet für Ihre Organisation, auch nachts, wenn niemand angemeldet ist.",
    ),
    "install.action": ("Install for your organization", "Für Ihre Organisation installieren"),
    "install.open": ("Open organization", "Organisation öffnen"),
    "install.done": ("Bogenlager is installed.", "Bogenlager ist installiert."),
    "subscribe.title": ("Choose a plan", "Tarif wählen"),
    "subscribe.legend": ("Plan", "Tarif"),
    "subscribe.action": ("Subscribe", "Abonnieren"),
    "plan.free": ("Free", "Free"),
    "plan.free.price": ("€0", "0 €"),
    "plan.free.text": ("one warehouse, 50 papers", "ein Lager, 50 Papiere"),
    "plan.pro": ("Pro", "Pro"),
    "plan.pro.price": ("€29 a month", "29 € im Monat"),
    "plan.pro.text": ("all warehouses, automatic orders", "alle Lager, automatische Bestellungen"),
    # The stock list
    "stock.title": ("In stock", "Auf Lager"),
    "stock.sample": ("Example", "Beispiel"),
    "stock.paper": ("Paper", "Papier"),
    "stock.place": ("Location", "Lagerplatz"),
    "stock.sheets": ("Sheets", "Bogen"),
    "stock.low": ("reorder soon", "bald nachbestellen"),
    "stock.filled": ("{percent}% full", "zu {percent} % gefüllt"),
    # My page
    "me.title": ("My page", "Meine Seite"),
    "me.greeting": ("Good to see you, {first_name}.", "Schön, dass Sie da sind, {full_name}."),
    "me.greeting.nameless": ("Good to see you.", "Schön, dass Sie da sind."),
    "me.lead": (
        "Bogenlager has just fetched this information about you from Zaikio.",
        "Diese Angaben über Sie hat Bogenlager gerade bei Zaikio abgerufen.",
    ),
    "person.title": ("Your Zaikio profile", "Ihr Zaikio-Profil"),
    "person.name": ("Name", "Name"),
    "person.email": ("E-mail", "E-Mail"),
    "person.confirmed": ("confirmed", "bestätigt"),
    "person.unconfirmed": ("not confirmed yet", "noch nicht bestätigt"),
    "person.locale": ("Language", "Sprache"),
    "person.organizations": ("Organizations", "Organisationen"),
    "user.number": ("Customer number at Bogenlager", "Kundennummer bei Bogenlager"),
    "person.id": ("Zaikio ID", "Zaikio-ID"),
    "access.title": ("Access", "Zugang"),
    "access.left": ("Access expires in", "Zugang läuft ab in"),
    "access.renewed": (
        "Bogenlager renews it automatically. You stay logged in.",
        "Bogenlager erneuert ihn automatisch. Sie bleiben angemeldet.",
    ),
    "access.over": (
        "Your access has expired. It is renewed when you open the next page.",
        "Ihr Zugang ist abgelaufen. Er wird erneuert, sobald Sie die nächste Seite öffnen.",
    ),
    "access.kept": (
        "The access token is stored on the server, encrypted. It is never sent to your browser.",
        "Das Zugriffstoken wird verschlüsselt auf dem Server gespeichert und nie an Ihren Browser gesendet.",
    ),
    "scopes.title": ("Bogenlager may", "Bogenlager darf"),
    "scopes.none": ("Nothing. No permission was granted.", "Nichts. Es wurde keine Berechtigung erteilt."),
    "scope.zaikio.person.r": (
        "Read your name, your e-mail address and where you work",
        "Ihren Namen, Ihre E-Mail-Adresse und Ihre Organisationen lesen",
    ),
    "scope.zaikio.organization.r": (
        "Read your organization’s name and address",
        "Name und Anschrift Ihrer Organisation lesen",
    ),
    "scope.any.r": ("Read “{name}” in {app}", "„{name}“ in {app} lesen"),
    "scope.any.w": ("Change “{name}” in {app}", "„{name}“ in {app} ändern"),
    "scope.any.rw": ("Read and change “{name}” in {app}", "„{name}“ in {app} lesen und ändern"),
    # The organization's page
    "organization.title": ("Organization", "Organisation"),
    "organization.lead": (
        "Bogenlager acts for this organization with the organization’s own token. Nobody has to be logged in.",
        "Bogenlager handelt für diese Organisation mit deren eigenem Token. Dafür muss niemand angemeldet sein.",
    ),
    "organization.nameless": ("Your organization", "Ihre Organisation"),
    "organization.data": ("Zaikio profile", "Zaikio-Profil"),
    "organization.name": ("Name", "Name"),
    "organization.country": ("Country", "Land"),
    "organization.kinds": ("Type", "Art"),
    "organization.plan": ("Plan", "Tarif"),
    "organization.id": ("Zaikio ID", "Zaikio-ID"),
    "organization.forget": ("Remove from this browser", "Aus diesem Browser entfernen"),
    "organization.none": ("No organization yet", "Noch keine Organisation"),
    "organization.none.text": (
        "Install Bogenlager for your organization to see its stock here.",
        "Installieren Sie Bogenlager für Ihre Organisation, dann sehen Sie hier deren Lagerbestand.",
    ),
    # Who has installed Bogenlager
    "connections.title": ("Connected organizations", "Verbundene Organisationen"),
    "connections.lead": (
        "These organizations have installed Bogenlager. In a real product, only the support team would see this page.",
        (
            "Diese Organisationen haben Bogenlager installiert. "
            "In einem echten Produkt wäre diese Seite dem Support vorbehalten."
        ),
    ),
    "connections.list": ("Connections", "Verbindungen"),
    "connections.connected": ("Connected since", "Verbunden seit"),
    "connections.until": ("Valid until", "Gültig bis"),
    "connections.health": ("Health", "Zustand"),
    "connections.again": ("Install again", "Erneut installieren"),
    "connections.none": (
        "No organization has installed Bogenlager yet.",
        "Noch keine Organisation hat Bogenlager installiert.",
    ),
    "connections.ask": ("Who uses Bogenlager?", "Wer nutzt Bogenlager?"),
    "health.ok": ("OK", "in Ordnung"),
    "health.ageing": ("expires soon", "läuft bald ab"),
    "health.lost": ("lost", "getrennt"),
    # Values from the Hub; any other value is shown unchanged
    "role.owner": ("Owner", "Inhaber/in"),
    "role.admin": ("Administration", "Administration"),
    "role.billing": ("Billing", "Abrechnung"),
    "role.production": ("Production", "Produktion"),
    "role.purchasing": ("Purchasing", "Einkauf"),
    "role.sales": ("Sales", "Vertrieb"),
    "kind.printer": ("Print shop", "Druckerei"),
    "kind.supplier": ("Supplier", "Lieferant"),
    "country.AT": ("Austria", "Österreich"),
    "country.CH": ("Switzerland", "Schweiz"),
    "country.DE": ("Germany", "Deutschland"),
    "locale.de": ("German", "Deutsch"),
    "locale.en": ("English", "Englisch"),
    # After a subscription
    "subscription.title": ("Subscribed", "Abonniert"),
    "subscription.headline": (
        "Thank you. You are now on the {plan} plan.",
        "Vielen Dank. Sie nutzen jetzt den Tarif {plan}.",
    ),
    "subscription.text": (
        "Your organization has subscribed to Bogenlager {plan}. You can change or cancel it at Zaikio at any time.",
        (
            "Ihre Organisation hat Bogenlager {plan} abonniert. "
            "Sie können das Abonnement jederzeit bei Zaikio ändern oder kündigen."
        ),
    ),
    "subscription.none": ("No subscription yet", "Noch kein Abonnement"),
    "subscription.none.text": (
        "Choose a plan on the start page. Zaikio then asks which organization it is for.",
        "Wählen Sie auf der Startseite einen Tarif. Zaikio fragt dann, für welche Organisation er gilt.",
    ),
    "subscription.choose": ("Choose a plan", "Tarif wählen"),
    # A device without a keyboard
    "device.ask": ("A tablet at the cutting machine?", "Ein Tablet an der Schneidemaschine?"),
    "device.title": ("Connect a device", "Gerät verbinden"),
    "device.label": ("At the cutting machine", "An der Schneidemaschine"),
    "device.headline": ("Connect a device", "Gerät verbinden"),
    "device.text": (
        "No keyboard here? Show a code on this screen, and approve the device on your phone.",
        (
            "Keine Tastatur zur Hand? Lassen Sie hier einen Code anzeigen, und geben Sie das Gerät auf Ihrem Telefon "
            "frei."
        ),
    ),
    "device.start": ("Show a code", "Code anzeigen"),
    "device.how": (
        "Use your phone or any other computer. You do not have to type anything on this device.",
        "Verwenden Sie Ihr Telefon oder einen anderen Computer. Auf diesem Gerät müssen Sie nichts eingeben.",
    ),
    "device.scan": ("Scan this code", "Diesen Code scannen"),
    "device.picture": ("QR code that opens {address}", "QR-Code, der {address} öffnet"),
    "device.type": ("Or open this page and enter the code", "Oder diese Seite öffnen und den Code eingeben"),
    "device.same": (
        "Allow access only if Zaikio shows you the same code.",
        "Erlauben Sie den Zugriff nur, wenn Zaikio Ihnen denselben Code zeigt.",
    ),
    "device.left": ("Code expires in", "Code läuft ab in"),
    "device.waiting": ("Waiting for your approval…", "Warten auf Ihre Freigabe …"),
    "device.over": ("The code has expired.", "Der Code ist abgelaufen."),
    "device.cancel": ("Cancel", "Abbrechen"),
    "device.connected": ("Connected for {name}.", "Verbunden für {name}."),
    "device.connected.text": (
        "This device now has its own token, encrypted on the server. Nobody is logged in here. The device may:",
        (
            "Dieses Gerät hat jetzt ein eigenes Token, verschlüsselt auf dem Server. Hier ist niemand angemeldet. "
            "Das Gerät darf:"
        ),
    ),
    "device.another": ("Connect another device", "Weiteres Gerät verbinden"),
    "device.cancelled": ("Not connected.", "Nicht verbunden."),
    "device.cancelled.text": (
        "The request was cancelled at Zaikio. Nothing was stored.",
        "Die Anfrage wurde bei Zaikio abgebrochen. Es wurde nichts gespeichert.",
    ),
    "device.expired": ("This code has expired.", "Dieser Code ist abgelaufen."),
    "device.expired.text": (
        "It was not entered in time. Please request a new one.",
        "Er wurde nicht rechtzeitig eingegeben. Bitte fordern Sie einen neuen an.",
    ),
    "device.failed": ("Zaikio cannot be reached at the moment.", "Zaikio ist gerade nicht erreichbar."),
    "device.failed.text": ("Please try again in a minute.", "Bitte versuchen Sie es in einer Minute noch einmal."),
    # Errors and cancellations
    "cancelled.title": ("You cancelled. No problem.", "Sie haben abgebrochen. Kein Problem."),
    "cancelled.text": (
        "Nothing has changed. You can try again at any time.",
        "Es wurde nichts geändert. Sie können es jederzeit erneut versuchen.",
    ),
    "failed.title": ("That did not work.", "Das hat nicht geklappt."),
    "failed.again": ("Try again", "Erneut versuchen"),
    "failed.code": ("Error code", "Fehlercode"),
    "hub.unreachable.title": ("Zaikio cannot be reached at the moment.", "Zaikio ist gerade nicht erreichbar."),
    "hub.unreachable.text": (
        "Nothing is lost. Please try again in a minute.",
        "Es ist nichts verloren gegangen. Bitte versuchen Sie es in einer Minute noch einmal.",
    ),
    "hub.rejected.title": ("Zaikio no longer accepts your login.", "Zaikio akzeptiert Ihre Anmeldung nicht mehr."),
    "hub.rejected.text": (
        "Your access may have been withdrawn. Please log in again to continue.",
        "Möglicherweise wurde Ihr Zugang entzogen. Bitte melden Sie sich erneut an, um fortzufahren.",
    ),
    "hub.ungranted.title": (
        "Bogenlager does not have access to this organization yet.",
        "Bogenlager hat noch keinen Zugriff auf diese Organisation.",
    ),
    "hub.ungranted.text": (
        "First, a person who is authorized to do so has to install Bogenlager for the organization.",
        "Zuerst muss eine berechtigte Person Bogenlager für die Organisation installieren.",
    ),
    "missing.title": ("Page not found", "Seite nicht gefunden"),
    "missing.headline": ("This page does not exist.", "Diese Seite gibt es nicht."),
    "missing.text": ("It may have been moved or deleted.", "Möglicherweise wurde sie verschoben oder gelöscht."),
    "forbidden.title": ("No access", "Kein Zugriff"),
    "forbidden.headline": ("You cannot open this page.", "Sie können diese Seite nicht öffnen."),
    "forbidden.text": ("You do not have permission to do this.", "Dafür fehlt Ihnen die Berechtigung."),
    "broken.title": ("Error", "Fehler"),
    "broken.headline": ("Something went wrong on our side.", "Bei uns ist etwas schiefgelaufen."),
    "broken.text": (
        "It is not your fault. Please try again in a moment.",
        "Es liegt nicht an Ihnen. Bitte versuchen Sie es gleich noch einmal.",
    ),
    "error.home": ("Go to the start page", "Zur Startseite"),
}
