drop function stores.read_transactions(bigint), stores.read_refund_lines(bigint), stores.read_refunds(bigint, bigint),
    stores.read_sales(bigint), stores.read_shipping_lines(bigint), stores.read_line_items(bigint),
    stores.read_agreements(bigint, text), stores.read_orders(bigint), stores.parent_of(bigint, "char", bigint),
    stores.lines_of("char");
