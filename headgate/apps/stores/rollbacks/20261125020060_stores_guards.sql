drop table stores.file_parents, stores.untied_orders, stores.reconciliations, stores.dead_letters, stores.orphans, stores.tombstones;
