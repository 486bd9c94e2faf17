drop view public.mail_inbox;
drop table control.mail;
