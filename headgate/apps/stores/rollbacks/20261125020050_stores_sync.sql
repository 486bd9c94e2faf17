drop table stores.positions, stores.bulk_operations, stores.sync_runs, public.shop_milestones;
