-- name: post
insert into control.mail (kind, recipient, subject, text, html, state)
values (%(kind)s, %(recipient)s, %(subject)s, %(text)s, %(html)s, %(state)s)

-- name: trim_inbox
delete from control.mail where state = 'inbox' and id <= (
  select id from control.mail where state = 'inbox' order by id desc offset 1000 limit 1)

-- name: take_due
update control.mail m set attempts = m.attempts + 1, due_at = now() + interval '2 minutes'
  from (select id from control.mail where state = 'queued' and due_at <= now()
         order by due_at limit 1 for update skip locked) due
 where m.id = due.id
returning m.id, m.kind, m.recipient, m.subject, m.text, m.html, m.attempts

-- name: sent
update control.mail set state = 'sent', text = null, html = null, error = null where id = %(id)s

-- name: put_off
update control.mail
   set state = case when %(final)s then 'failed' else 'queued' end,
       text = case when %(final)s then null else text end, html = case when %(final)s then null else html end,
       due_at = now() + make_interval(secs => %(wait_s)s), error = %(error)s
 where id = %(id)s

-- name: forget_old
delete from control.mail where state in ('sent', 'failed') and created_at < now() - interval '7 days'
