drop table public.event_latest, public.listings_open, public.listings, public.sections, public.zones_mapping, public.events;
drop schema tickets;
