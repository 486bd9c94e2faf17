// The figures of a day's sales: their names, their signs in the sum, and what each means (docs/explanation/stores-totals.md).
import { html } from "../../static/names.js";

export const FIGURES = ["gross", "discounts", "reversals", "net", "shipping", "taxes", "duties", "fees", "total", "tips", "gift_cards", "orders"];
export const SHOWN = FIGURES.filter((name) => name !== "orders");
export const SIGNS = { discounts: -1, reversals: -1 };
export const GOOD = { gross: 1, net: 1, total: 1, reversals: -1 };
export const NAMES = {
  gross: "Gross sales", discounts: "Discounts", reversals: "Returns", net: "Net sales", shipping: "Shipping", taxes: "Taxes",
  duties: "Duties", fees: "Fees", total: "Total sales", tips: "Tips (apart)", gift_cards: "Gift cards sold (apart)",
};
const MEANINGS = [
  ["Gross sales", "Products sold, before discounts and without tax."],
  ["Discounts", "Taken off those products, without tax."],
  ["Returns", "What came back: returns, units taken out of an order, and what a refund gave beyond them. It counts on the day it came back, so a day may be below zero."],
  ["Net sales", "Gross sales − discounts − returns."],
  ["Total sales", "Net sales + shipping + taxes + duties + fees."],
  ["Tips, gift cards", "In no total: a gift card is owed until it is used."],
  ["Orders", "Placed that day; cancelled and unpaid ones count, test and deleted ones do not."],
  ["Average order", "(Gross sales − discounts) ÷ orders."],
];

/** What the figures mean, one opening away. */
export function Meanings() {
  return html`<section class="card"><details class="data" open><summary><h2 style=${{ display: "inline", color: "var(--ink)" }}>What the figures mean</h2></summary><dl class="facts" style=${{ marginTop: "8px" }}>${MEANINGS.map(([name, text]) => html`<div key=${name} style=${{ gridTemplateColumns: "minmax(0, 1fr)", gap: 0 }}><dt style=${{ color: "var(--ink)" }}>${name}</dt><dd class="small quiet">${text}</dd></div>`)}</dl></details></section>`;
}
