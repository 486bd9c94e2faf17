drop table stores.redactions, stores.gdpr_requests;
