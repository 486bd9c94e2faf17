drop function public.stores_sync_status(uuid);
drop view public.shop_untied_orders, public.shop_reconciliations, public.shop_privacy_requests, public.shop_webhooks,
  public.shop_connections, public.shop_brands;
drop function stores.sync_status(uuid);
drop function stores.shop_status(bigint);
