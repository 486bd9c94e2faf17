"""The stores application: Shopify shops in sync, to the cent."""
