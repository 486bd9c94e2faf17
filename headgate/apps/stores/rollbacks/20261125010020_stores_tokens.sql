drop table stores.oauth_states, stores.tokens;
