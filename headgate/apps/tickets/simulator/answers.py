"""Markets in the upstream's own shapes: field names, nearly every value a string, zone-prefixed sections."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson

from headgate.apps.tickets.simulator.market import DAY, Listing, Market, Zone
from headgate.apps.tickets.simulator.world import Production

_INCLUDED = "CUSTOMER_PRICE,SERVICE_FEE,ELECTRONIC_DELIVERY_FEE"


def money(cents: float) -> str:
    """Cents as the upstream writes amounts: `"1234.50"`."""
    return f"{int(cents) // 100}.{int(cents) % 100:02d}"


def all_in(base: int, fee: float) -> int:
    """The price with fees, in cents."""
    return round(base * (1 + fee))


def ticket(listing: Listing, zone: Zone, fee: float, rate: float = 1.0) -> dict[str, Any]:
    """One listing as an element of `tickets`."""
    section_id, section = zone.sections[listing.section]
    base, aip = money(listing.base * rate), money(all_in(listing.base, fee) * rate)
    quantity = str(listing.quantity)
    return {
        "s": section, "r": listing.row, "q": quantity, "p": base, "i": listing.id, "d": section_id, "n": "",
        "f": "0", "l": section, "g": "0", "t": "3", "m": ",".join(map(str, listing.splits)), "c": zone.id,
        "z": "0", "zo": "0", "ind": "0", "instantElectronicTransfer": "0", "instantFlashSeats": "0", "st": "1",
        "vs": "7.1", "sd": "0", "stp": listing.stock, "aip": aip, "ls": listing.seats[0],
        "hs": listing.seats[1], "faceValue": "0.00", "di": False, "fdi": "", "pdi": "", "sectionName": section,
        "row": listing.row, "quantity": quantity, "allInPricePerTicket": aip, "dealScore": "7.1",
        "badges": [], "perks": ["Seated Together"] if listing.quantity > 1 else [], "localPrices": None,
    }  # fmt: skip


def listings_document(
    production: Production, now: float, currency: str = "USD", rate: float = 1.0
) -> dict[str, Any]:
    """The whole answer as an object; `tickets` hold encoded fragments, kept per listing until it changes."""
    market = production.market
    plain = rate == 1.0
    tickets: list[Any] = []
    for item in market.listings.values():
        if not plain:
            tickets.append(ticket(item, market.zones[item.zone], market.fee, rate))
            continue
        if item.fragment is None:
            item.fragment = orjson.dumps(ticket(item, market.zones[item.zone], market.fee))
        tickets.append(orjson.Fragment(item.fragment))
    return {
        "global": [totals(production, now, rate)],
        "tickets": tickets,
        "groups": [{"productionId": production.id, "i": z.id, "n": z.name} for z in market.zones],
        "sections": sections(production.id, market, rate),
        "i18n": {"from": "USD", "to": currency, "rate": rate, "applyCurrencyConversion": not plain},
    }


def encode(document: dict[str, Any]) -> bytes:
    """The document as the upstream would send it."""
    return orjson.dumps(document)


def totals(production: Production, now: float, rate: float = 1.0) -> dict[str, Any]:
    """`global[0]`: counts and prices, a checksum of the list."""
    market = production.market
    rows = list(market.listings.values())
    bases = sorted(r.base for r in rows) or [0]
    aips = [all_in(base, market.fee) for base in bases]
    venue = production.venue_row
    return {
        "listingCount": str(len(rows)), "ticketCount": str(sum(r.quantity for r in rows)),
        "venueCapacity": "18000", "vpcr": "", "mapTitle": venue[0], "productionId": str(production.id),
        "productionName": production.name, "venueId": str(production.venue + 1), "venueCountry": "US",
        "zoned": "0", "venueState": venue[2], "venueTimeZone": venue[3], "showServiceCharge": "true",
        "priceLocalized": False, "dte": str(max(0, int((production.starts_at - now) / DAY))),
        "atp": money(sum(bases) / len(bases) * rate), "lp": money(bases[0] * rate),
        "hp": money(bases[-1] * rate), "mp": money(bases[len(bases) // 2] * rate),
        "hq": str(max((r.quantity for r in rows), default=0)), "eventId": str(production.performer + 1),
        "averageAip": money(sum(aips) / len(aips) * rate), "lowestAip": money(aips[0] * rate),
        "highestAip": money(aips[-1] * rate), "medianAip": money(aips[len(aips) // 2] * rate),
        "showAip": "true", "vatAddedToAip": "false", "showAipIncludedPrices": "true",
        "aipIncludedPrices": _INCLUDED, "defaultAipOn": "true", "isFaceValue": "false", "countryCode": "US",
        "productionCategory": production.performer_row[1], "vsAvailable": True, "isPriceLocalized": rate != 1.0,
        "percentRemaining": min(99, len(rows) * 2 // 10 + 1), "localPrices": None, "hasGreatDeal": False,
    }  # fmt: skip


def sections(production_id: int, market: Market, rate: float = 1.0) -> list[dict[str, Any]]:
    """Per section: lowest, highest, quantity."""
    grouped: dict[tuple[int, int], list[Listing]] = {}
    for row in market.listings.values():
        grouped.setdefault((row.zone, row.section), []).append(row)
    found = []
    for (zone_index, index), rows in sorted(grouped.items()):
        zone = market.zones[zone_index]
        low, high = min(r.base for r in rows), max(r.base for r in rows)
        found.append(
            {
                "productionId": production_id,
                "i": zone.sections[index][0],
                "g": zone.id,
                "a": "1",
                "h": money(high * rate),
                "l": money(low * rate),
                "q": str(sum(r.quantity for r in rows)),
                "n": zone.sections[index][1],
                "si": "",
                "li": "",
                "pi": "",
                "laip": money(all_in(low, market.fee) * rate),
                "mbi": "",
                "s3d": "",
                "p3d": "",
                "rd": "",
                "localPrices": None,
            }
        )
    return found


def production_item(production: Production, now: float) -> dict[str, Any]:
    """One element of a productions page."""
    start = datetime.fromtimestamp(production.starts_at, UTC)
    local = start.astimezone(production.tz)
    venue, (performer, category) = production.venue_row, production.performer_row
    sums = totals(production, now)
    return {
        "id": production.id,
        "name": production.name,
        "utcDate": start.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "localDate": f"{local.isoformat(timespec='seconds')}[{venue[3]}]",
        "dateTbd": False,
        "timeTbd": False,
        "minPrice": float(sums["lp"]),
        "medianPrice": float(sums["mp"]),
        "avgPrice": float(sums["atp"]),
        "maxPrice": float(sums["hp"]),
        "minAipPrice": float(sums["lowestAip"]),
        "listingCount": int(sums["listingCount"]),
        "ticketCount": int(sums["ticketCount"]),
        "venue": {
            "id": production.venue + 1, "name": venue[0], "city": venue[1], "state": venue[2],
            "countryCode": "US", "timezone": venue[3], "capacity": 18000,
        },
        "performers": [{"id": production.performer + 1, "name": performer, "category": {"name": category}}],
        "webPath": f"/production/{production.id}",
    }  # fmt: skip
