"""Every word that Bogenlager says: key → (English, German)."""

from __future__ import annotations

__all__ = ["TEXTS"]

TEXTS: dict[str, tuple[str, str]] = {
    # The frame around every page
    "brand.claim": ("Paper stock for print shops", "Papierlager für Druckereien"),
    "nav.label": ("Pages", "Seiten"),
    "nav.skip": ("Skip to the content", "Zum Inhalt springen"),
    "nav.home": ("Start", "Start"),
    "nav.me": ("My page", "Meine Seite"),
    "nav.organization": ("Organization", "Organisation"),
    "nav.log_in": ("Log in", "Anmelden"),
    "nav.log_out": ("Log out", "Abmelden"),
    "nav.language": ("Language", "Sprache"),
    "footer.demo": (
        "Bogenlager is made up. It is the demo of zaikio_oauth, a library for logging in with Zaikio.",
        "Bogenlager ist erfunden. Es ist die Demo von zaikio_oauth, einer Bibliothek für die Anmeldung mit Zaikio.",
    ),
    "footer.hub": ("The Zaikio Hub behind it", "Der Zaikio Hub dahinter"),
    "notice.dismiss": ("Dismiss", "Schließen"),
    # Landing page
    "landing.title": ("Know your paper stock", "Wissen, welches Papier da ist"),
    "landing.headline": (
        "Know what paper you have before the job is on press.",
        "Wissen, welches Papier da ist, bevor der Auftrag läuft.",
    ),
    "landing.lead": (
        (
            "Bogenlager counts every sheet in your warehouse and tells you in time what to order. "
            "Your people log in with the Zaikio account they already have."
        ),
        (
            "Bogenlager zählt jeden Bogen in Ihrem Lager und sagt rechtzeitig, was bestellt werden muss. "
            "Ihre Leute melden sich mit dem Zaikio-Konto an, das sie schon haben."
        ),
    ),
    "landing.ways": ("Three ways in", "Drei Wege hinein"),
    "login.title": ("For you", "Für Sie"),
    "login.text": (
        "See your own page. Bogenlager reads who you are and where you work, nothing else.",
        "Ihre eigene Seite ansehen. Bogenlager liest, wer Sie sind und wo Sie arbeiten, sonst nichts.",
    ),
    "login.action": ("Log in with Zaikio", "Mit Zaikio anmelden"),
    "login.open": ("Open my page", "Meine Seite öffnen"),
    "login.done": ("You are logged in.", "Sie sind angemeldet."),
    "install.title": ("For your print shop", "Für Ihre Druckerei"),
    "install.text": (
        "Let Bogenlager work for your organization, also at night when nobody is logged in.",
        "Bogenlager arbeitet für Ihre Organisation, auch nachts, wenn niemand angemeldet ist.",
    ),
    "install.action": ("Install for your organization", "Für Ihre Organisation installieren"),
    "install.open": ("Open organization", "Organisation öffnen"),
    "install.done": ("Bogenlager is installed.", "Bogenlager ist installiert."),
    "subscribe.title": ("With a plan", "Mit Tarif"),
    "subscribe.legend": ("Plan", "Tarif"),
    "subscribe.action": ("Subscribe", "Abonnieren"),
    "plan.free": ("Free", "Free"),
    "plan.free.price": ("€0", "0 €"),
    "plan.free.text": ("one warehouse, 50 papers", "ein Lager, 50 Papiere"),
    "plan.pro": ("Pro", "Pro"),
    "plan.pro.price": ("€29 a month", "29 € im Monat"),
    "plan.pro.text": ("all warehouses, orders by itself", "alle Lager, bestellt von selbst"),
    # The stock list
    "stock.title": ("In stock", "Auf Lager"),
    "stock.sample": ("Example", "Beispiel"),
    "stock.paper": ("Paper", "Papier"),
    "stock.size": ("Size", "Format"),
    "stock.place": ("Place", "Platz"),
    "stock.sheets": ("Sheets", "Bogen"),
    "stock.level": ("Level", "Füllstand"),
    "stock.low": ("order soon", "bald bestellen"),
    "stock.filled": ("{percent} % full", "zu {percent} % gefüllt"),
    # My page
    "me.title": ("My page", "Meine Seite"),
    "me.greeting": ("Good to see you, {name}.", "Schön, dass Sie da sind, {name}."),
    "me.greeting.nameless": ("Good to see you.", "Schön, dass Sie da sind."),
    "me.lead": (
        "This is what Zaikio tells Bogenlager about you, fetched just now.",
        "Das teilt Zaikio Bogenlager über Sie mit, gerade eben abgerufen.",
    ),
    "person.title": ("You at Zaikio", "Sie bei Zaikio"),
    "person.name": ("Name", "Name"),
    "person.email": ("E-mail", "E-Mail"),
    "person.confirmed": ("confirmed", "bestätigt"),
    "person.unconfirmed": ("not confirmed yet", "noch nicht bestätigt"),
    "person.locale": ("Language", "Sprache"),
    "person.organizations": ("Works at", "Arbeitet bei"),
    "person.id": ("Zaikio ID", "Zaikio-ID"),
    "access.title": ("Access", "Zugang"),
    "access.left": ("left of this access", "bleiben von diesem Zugang"),
    "access.renewed": (
        "Then Bogenlager renews it by itself. You stay logged in.",
        "Danach erneuert Bogenlager ihn von selbst. Sie bleiben angemeldet.",
    ),
    "access.over": (
        "Time is up. The next page you open renews it.",
        "Abgelaufen. Die nächste Seite, die Sie öffnen, erneuert ihn.",
    ),
    "access.kept": (
        "The access token stays on the server, encrypted. Your browser never sees it.",
        "Das Zugriffstoken bleibt verschlüsselt auf dem Server. Ihr Browser bekommt es nie zu sehen.",
    ),
    "scopes.title": ("Bogenlager may", "Bogenlager darf"),
    "scopes.none": ("Nothing: no scope was granted.", "Nichts: Es wurde keine Berechtigung erteilt."),
    "scope.zaikio.person.r": (
        "Read your name, your e-mail address and where you work",
        "Ihren Namen, Ihre E-Mail-Adresse und Ihre Betriebe lesen",
    ),
    "scope.zaikio.organization.r": (
        "Read your organization's name and address",
        "Name und Anschrift Ihrer Organisation lesen",
    ),
    "scope.any.r": ("Read “{name}” in {app}", "„{name}“ in {app} lesen"),
    "scope.any.w": ("Change “{name}” in {app}", "„{name}“ in {app} ändern"),
    "scope.any.rw": ("Read and change “{name}” in {app}", "„{name}“ in {app} lesen und ändern"),
    "scope.any": ("Use “{name}”", "„{name}“ verwenden"),
    # The organization's page
    "organization.title": ("Organization", "Organisation"),
    "organization.lead": (
        "Bogenlager acts for this organization with a token of its own. No person has to be logged in.",
        "Bogenlager handelt für diese Organisation mit einem eigenen Token. Dafür muss niemand angemeldet sein.",
    ),
    "organization.nameless": ("Your organization", "Ihre Organisation"),
    "organization.data": ("Organization at Zaikio", "Organisation bei Zaikio"),
    "organization.name": ("Name", "Name"),
    "organization.country": ("Country", "Land"),
    "organization.kinds": ("Kind", "Art"),
    "organization.plan": ("Plan", "Tarif"),
    "organization.id": ("Zaikio ID", "Zaikio-ID"),
    "organization.forget": ("Forget it in this browser", "In diesem Browser vergessen"),
    "organization.none": ("No organization yet", "Noch keine Organisation"),
    "organization.none.text": (
        "Install Bogenlager for your organization, and its stock appears here.",
        "Installieren Sie Bogenlager für Ihre Organisation, dann erscheint hier ihr Lager.",
    ),
    # Words of the Hub's own; whatever is not here is shown as the Hub says it
    "role.owner": ("Owner", "Inhaber/in"),
    "role.admin": ("Administration", "Verwaltung"),
    "role.billing": ("Billing", "Abrechnung"),
    "role.production": ("Production", "Produktion"),
    "role.purchasing": ("Purchasing", "Einkauf"),
    "role.sales": ("Sales", "Vertrieb"),
    "kind.printer": ("Print shop", "Druckerei"),
    "kind.supplier": ("Supplier", "Zulieferer"),
    "country.AT": ("Austria", "Österreich"),
    "country.CH": ("Switzerland", "Schweiz"),
    "country.DE": ("Germany", "Deutschland"),
    "locale.de": ("German", "Deutsch"),
    "locale.en": ("English", "Englisch"),
    # After a subscription
    "subscription.title": ("Subscribed", "Abonniert"),
    "subscription.headline": ("Thank you. You are on {plan} now.", "Vielen Dank. Jetzt gilt der Tarif {plan}."),
    "subscription.text": (
        "Your organization has subscribed to Bogenlager {plan}. You can change or cancel it at Zaikio at any time.",
        "Ihre Organisation hat Bogenlager {plan} abonniert. Ändern oder kündigen können Sie jederzeit bei Zaikio.",
    ),
    "subscription.none": ("No subscription yet", "Noch kein Abonnement"),
    "subscription.none.text": (
        "Choose a plan on the start page; Zaikio asks which organization it is for.",
        "Wählen Sie auf der Startseite einen Tarif. Zaikio fragt, für welche Organisation er gilt.",
    ),
    "subscription.choose": ("Choose a plan", "Tarif wählen"),
    # A device without a keyboard
    "device.ask": ("A tablet at the cutting machine?", "Ein Tablet an der Schneidemaschine?"),
    "device.title": ("Connect a device", "Gerät verbinden"),
    "device.label": ("At the cutting machine", "An der Schneidemaschine"),
    "device.headline": ("Connect a device", "Gerät verbinden"),
    "device.text": (
        "This screen has no keyboard? It shows a code, and you let it in with your telephone.",
        "Dieser Bildschirm hat keine Tastatur? Er zeigt einen Code, und Sie lassen ihn mit Ihrem Telefon herein.",
    ),
    "device.start": ("Show a code", "Code anzeigen"),
    "device.how": (
        "With your telephone or any other computer. Nothing has to be typed on this device.",
        "Mit Ihrem Telefon oder einem anderen Rechner. Auf diesem Gerät muss nichts eingegeben werden.",
    ),
    "device.scan": ("Scan this", "Scannen Sie das"),
    "device.picture": ("QR code that opens {address}", "QR-Code, der {address} öffnet"),
    "device.type": ("Or type this", "Oder tippen Sie das"),
    "device.same": (
        "Allow it only if Zaikio shows you the same code.",
        "Erlauben Sie es nur, wenn Zaikio Ihnen denselben Code zeigt.",
    ),
    "device.left": ("until this code is too old", "bis dieser Code zu alt ist"),
    "device.waiting": ("Waiting for you …", "Warten auf Sie …"),
    "device.over": ("Time is up.", "Die Zeit ist um."),
    "device.cancel": ("Cancel", "Abbrechen"),
    "device.connected": ("Connected for {name}.", "Verbunden für {name}."),
    "device.connected.text": (
        "This device has a token of its own now, encrypted on the server. Nobody is logged in here. It may:",
        "Dieses Gerät hat jetzt ein eigenes Token, verschlüsselt auf dem Server. Hier ist niemand angemeldet. Es darf:",
    ),
    "device.another": ("Connect another device", "Weiteres Gerät verbinden"),
    "device.cancelled": ("Not connected.", "Nicht verbunden."),
    "device.cancelled.text": (
        "Somebody cancelled it at Zaikio. Nothing was stored.",
        "Jemand hat es bei Zaikio abgebrochen. Es wurde nichts gespeichert.",
    ),
    "device.expired": ("That code is too old.", "Dieser Code ist zu alt."),
    "device.expired.text": (
        "Nobody entered it in time. Take a new one.",
        "Niemand hat ihn rechtzeitig eingegeben. Nehmen Sie einen neuen.",
    ),
    "device.failed": ("Zaikio cannot be reached just now.", "Zaikio ist gerade nicht erreichbar."),
    "device.failed.text": ("Please try again in a minute.", "Bitte versuchen Sie es in einer Minute noch einmal."),
    # When something did not work
    "cancelled.title": ("You cancelled, and that is fine.", "Sie haben abgebrochen, und das ist in Ordnung."),
    "cancelled.text": (
        "Nothing was changed. Come back whenever you like.",
        "Es wurde nichts geändert. Kommen Sie wieder, wann Sie möchten.",
    ),
    "failed.title": ("That did not work.", "Das hat nicht geklappt."),
    "failed.again": ("Try again", "Noch einmal versuchen"),
    "failed.code": ("Code", "Code"),
    "hub.unreachable.title": ("Zaikio cannot be reached just now.", "Zaikio ist gerade nicht erreichbar."),
    "hub.unreachable.text": (
        "Your data is safe and you are still logged in. Please try again in a minute.",
        "Ihre Daten sind sicher, und Sie bleiben angemeldet. Bitte versuchen Sie es in einer Minute noch einmal.",
    ),
    "hub.refused.title": ("Zaikio no longer accepts this access.", "Zaikio nimmt diesen Zugang nicht mehr an."),
    "hub.refused.text": (
        "It may have been withdrawn. Log in once more and it works again.",
        "Vielleicht wurde er entzogen. Melden Sie sich noch einmal an, dann geht es weiter.",
    ),
    "hub.ungranted.title": (
        "Bogenlager may not read this organization yet.",
        "Bogenlager darf diese Organisation noch nicht lesen.",
    ),
    "hub.ungranted.text": (
        "Somebody who may decide for it has to install Bogenlager first.",
        "Jemand, der für sie entscheiden darf, muss Bogenlager zuerst installieren.",
    ),
    "missing.title": ("Page not found", "Seite nicht gefunden"),
    "missing.headline": ("This sheet is not in the stack.", "Dieser Bogen liegt nicht im Stapel."),
    "missing.text": (
        "The page does not exist, or it has moved to another place.",
        "Die Seite gibt es nicht, oder sie liegt jetzt an einem anderen Platz.",
    ),
    "refused.title": ("Not possible", "Nicht möglich"),
    "refused.headline": ("You cannot open this.", "Das können Sie nicht öffnen."),
    "refused.text": ("Your access does not cover it.", "Ihr Zugang umfasst es nicht."),
    "broken.title": ("Out of register", "Passer verrutscht"),
    "broken.headline": ("Something slipped on our side.", "Bei uns ist etwas verrutscht."),
    "broken.text": (
        "It is not your fault. Please try again in a moment.",
        "Es liegt nicht an Ihnen. Bitte versuchen Sie es gleich noch einmal.",
    ),
    "error.home": ("To the start page", "Zur Startseite"),
}
