drop table stores.connections, stores.brand_members, stores.brands;
drop function stores.my_connections(), stores.my_brands();
drop schema stores;
