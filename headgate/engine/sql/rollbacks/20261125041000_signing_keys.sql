drop table control.signing_keys;
