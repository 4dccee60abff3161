#!/usr/bin/env python3
"""Adds up real invoices, sharing no code with Banyan: revenue per day and per SKU, pieces, end stock.

Reads the invoices as CSV from the standard input. The one argument is a file with the numbers of the
invoices that were confirmed, a line each. Writes one JSON document: what the sums are, and how many
rows were left out for which reason.
"""
import csv
import json
import re
import sys
from collections import Counter, defaultdict
from decimal import Decimal, InvalidOperation


def why_not(row):
    """Why a row is no line of an order, or None."""
    if row["InvoiceNo"].startswith("C"):
        return "cancellation"
    if not re.fullmatch(r"\d{5}[A-Za-z]*", row["StockCode"]):
        return "not goods"
    if not re.fullmatch(r"\d+", row["InvoiceNo"]):
        return "no invoice number"
    if int(row["Quantity"]) <= 0:
        return "quantity not positive"
    try:
        price = Decimal(row["UnitPrice"])
    except InvalidOperation:
        return "no price"
    if price <= 0:
        return "price not positive"
    if price * 100 != int(price * 100):
        return "fraction of a penny"
    return None


def main():
    confirmed = set(open(sys.argv[1], encoding="ascii").read().split())
    left_out, needed = Counter(), Counter()
    per_day, per_sku, pieces = defaultdict(int), defaultdict(int), Counter()
    for row in csv.DictReader(sys.stdin):
        reason = why_not(row)
        if reason:
            left_out[reason] += 1
            continue
        quantity, pence = int(row["Quantity"]), int(Decimal(row["UnitPrice"]) * 100)
        needed[row["StockCode"]] += quantity
        if row["InvoiceNo"] in confirmed:
            per_day[row["InvoiceDate"][:10]] += quantity * pence
            per_sku[row["StockCode"]] += quantity * pence
            pieces[row["StockCode"]] += quantity
    stock = {}
    for place, sku in enumerate(sorted(needed, key=lambda sku: sku.encode())):
        begin = needed[sku] if place % 50 != 49 else needed[sku] // 2
        stock[sku] = begin - pieces[sku]
    json.dump({"left_out": left_out, "per_day": per_day, "per_sku": per_sku, "stock": stock}, sys.stdout)


main()
