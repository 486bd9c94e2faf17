-- Who belongs to a brand, managed by its owners: they invite an address, and whoever has proven to hold it accepts.
--
-- An invitation looks the same whether or not the address has an account, to owners as well: anybody may make a brand, so
-- what owners could find out, everybody could. Nobody belongs to a brand who did not accept. What owners may do is said by
-- policies; addresses, which lie in the auth schema, come through functions that look who asks.

create table stores.brand_invitations (
    brand_id uuid not null references stores.brands on delete cascade,
    email text not null check (email = lower(email) and length(email) <= 320 and email ~ '^[^@[:space:]]+@[^@[:space:]]+$'),
    role text not null default 'viewer' check (role in ('owner', 'admin', 'viewer')),
    invited_by uuid,
    invited_at timestamptz not null default now(),
    expires_at timestamptz not null default now() + interval '14 days',
    primary key (brand_id, email)
);
create index brand_invitations_email on stores.brand_invitations (email);
comment on table stores.brand_invitations is
    'Addresses that an owner wants in a brand; a row goes when its holder accepts or declines. Good for 14 days.';
alter table stores.brand_invitations enable row level security;

-- With the owner's rights: as the caller, the policy of brand_members that asks it would ask itself.
create function stores.owned_brands() returns uuid[]
language sql stable security definer set search_path = '' as $$
    select coalesce(array_agg(m.brand_id), '{}') from stores.brand_members m
    where m.user_id = (select auth.uid()) and m.role = 'owner'
$$;
comment on function stores.owned_brands is 'The brands that the caller owns';

-- one policy, for the caller's own rows come first: every look at a brand asks for them, and then asks nothing more
alter policy brand_members_read on stores.brand_members
    using (user_id = (select auth.uid()) or brand_id = any ((select stores.owned_brands())::uuid[]));
create policy brand_members_change_owned on stores.brand_members for update to authenticated
    using (brand_id = any ((select stores.owned_brands())::uuid[]))
    with check (brand_id = any ((select stores.owned_brands())::uuid[]));
create policy brand_members_leave_or_remove on stores.brand_members for delete to authenticated
    using (user_id = (select auth.uid()) or brand_id = any ((select stores.owned_brands())::uuid[]));
grant update (role), delete on stores.brand_members to authenticated;

create policy brand_invitations_owned on stores.brand_invitations for all to authenticated
    using (brand_id = any ((select stores.owned_brands())::uuid[]))
    with check (brand_id = any ((select stores.owned_brands())::uuid[]) and invited_by = (select auth.uid()));
create policy brand_invitations_write on stores.brand_invitations for all to service_role using (true) with check (true);
grant select, insert, update, delete on stores.brand_invitations to authenticated, service_role;

-- Two owners who remove one another at once take turns at the brand's row, so that the second sees what the first did.
create function stores.keep_an_owner() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    if old.role <> 'owner' or tg_op = 'UPDATE' and new.role = 'owner' then
        return null;
    end if;
    perform 1 from stores.brands b where b.id = old.brand_id for no key update;
    if not found then
        return null;  -- the brand itself goes
    end if;
    if not exists (select from stores.brand_members m join auth.users u on u.id = m.user_id and u.deleted_at is null
                   where m.brand_id = old.brand_id and m.role = 'owner' and m.user_id <> old.user_id) then
        raise sqlstate 'PT409' using message = 'This is the last owner of the brand.',
            hint = 'Make somebody else an owner first.';
    end if;
    -- who may not invite any more has not invited
    delete from stores.brand_invitations i where i.brand_id = old.brand_id and i.invited_by = old.user_id;
    return null;
end $$;
comment on function stores.keep_an_owner is 'A brand keeps an owner who can sign in; invitations of a former owner are void.';
create trigger brand_members_keep_an_owner after update of role or delete on stores.brand_members
    for each row execute function stores.keep_an_owner();

create function stores.addresses_of(p_brand uuid) returns table (user_id uuid, email text)
language sql stable security definer set search_path = '' as $$
    select u.id, u.email::text from stores.brand_members m
    join auth.users u on u.id = m.user_id and u.deleted_at is null
    where m.brand_id = p_brand
      and (m.user_id = (select auth.uid()) or p_brand = any (stores.owned_brands())
           or (select auth.role()) = 'service_role')
$$;
comment on function stores.addresses_of is 'Addresses of the members of a brand, for its owners; for others their own';

-- The address that the caller has proven to hold; none for guests, and none where a company's own sign-in vouches for it.
create function stores.my_address() returns text
language sql stable security definer set search_path = '' as $$
    select lower(u.email) from auth.users u
    where u.id = (select auth.uid()) and u.email_confirmed_at is not null and u.deleted_at is null
      and not u.is_sso_user and not u.is_anonymous
$$;
comment on function stores.my_address is 'The caller''s confirmed address, in lower case';

create function stores.my_invitations() returns table (brand_id uuid, brand text, role text, invited_by text, expires_at timestamptz)
language sql stable security definer set search_path = '' as $$
    select i.brand_id, b.name, i.role, (select u.email::text from auth.users u where u.id = i.invited_by), i.expires_at
    from stores.brand_invitations i join stores.brands b on b.id = i.brand_id
    where i.email = stores.my_address() and i.expires_at > now()
    order by b.name, b.id
$$;
comment on function stores.my_invitations is 'The brands that the caller''s address is invited to';

create function stores.answer_invitation(p_brand uuid, p_accept boolean) returns text
language plpgsql security definer set search_path = '' as $$
declare
    v_role text;
begin
    delete from stores.brand_invitations i
    where i.brand_id = p_brand and i.email = stores.my_address() and i.expires_at > now()
    returning i.role into v_role;
    if v_role is null then
        raise sqlstate 'PT404' using message = 'There is no such invitation.',
            hint = 'It may have been withdrawn, or be older than 14 days.';
    end if;
    if p_accept then
        insert into stores.brand_members (brand_id, user_id, role) values (p_brand, (select auth.uid()), v_role)
        on conflict do nothing;
    end if;
    return case when p_accept then v_role end;
end $$;
comment on function stores.answer_invitation is 'Accepts or declines an invitation of the caller''s address; the role, or null';

create function stores.require_owner(p_brand uuid) returns void
language plpgsql stable set search_path = '' as $$
begin
    if (select auth.role()) = 'service_role' or p_brand = any (stores.owned_brands()) then
        return;
    elsif p_brand = any (stores.my_brands()) then
        raise insufficient_privilege using message = 'Only owners of the brand may do that.';
    end if;
    raise sqlstate 'PT404' using message = 'There is no such brand.';
end $$;
comment on function stores.require_owner is 'Raises PT404 for a brand that the caller does not see, 42501 for one they do not own';

create function public.stores_members(p_brand uuid)
returns table (user_id uuid, email text, role text, state text, since timestamptz, expires_at timestamptz)
language sql stable security invoker set search_path = '' as $$
    select m.user_id, a.email, m.role, case when a.user_id is null then 'gone' else 'member' end, m.added_at,
           null::timestamptz
    from stores.brand_members m left join stores.addresses_of(p_brand) a on a.user_id = m.user_id
    where m.brand_id = p_brand
    union all
    select null, i.email, i.role, case when i.expires_at > now() then 'invited' else 'expired' end, i.invited_at, i.expires_at
    from stores.brand_invitations i where i.brand_id = p_brand
    order by 4 desc, 2, 1
$$;
comment on function public.stores_members is
    'Members and open invitations of a brand, for its owners; other members see themselves. state: member, gone (the '
    'account was deleted), invited, expired.';

create function public.stores_invite(p_brand uuid, p_email text, p_role text default 'viewer')
returns table (email text, role text, expires_at timestamptz)
language plpgsql security invoker set search_path = '' as $$
#variable_conflict use_column
declare
    v_email text := lower(btrim(p_email));
begin
    perform stores.require_owner(p_brand);
    if v_email is null or length(v_email) > 320 or v_email !~ '^[^@[:space:]]+@[^@[:space:]]+$' then
        raise sqlstate 'PT400' using message = 'This is no e-mail address.';
    elsif p_role is null or p_role not in ('owner', 'admin', 'viewer') then
        raise sqlstate 'PT400' using message = 'The role is owner, admin or viewer.';
    elsif exists (select from stores.addresses_of(p_brand) a where lower(a.email) = v_email) then
        raise sqlstate 'PT409' using message = 'This address is a member already.';
    elsif (select count(*) from stores.brand_invitations i where i.brand_id = p_brand and i.email <> v_email) >= 100 then
        raise sqlstate 'PT409' using message = 'There are 100 invitations already.', hint = 'Withdraw some of them.';
    end if;
    return query
    insert into stores.brand_invitations as i (brand_id, email, role, invited_by)
    values (p_brand, v_email, p_role, (select auth.uid()))
    on conflict (brand_id, email) do update
    set role = excluded.role, invited_by = excluded.invited_by, invited_at = now(), expires_at = excluded.expires_at
    returning i.email, i.role, i.expires_at;
end $$;
comment on function public.stores_invite is
    'Invites an address to a brand that the caller owns, for 14 days; again renews it. Whether the address has an account '
    'is not told, and no letter is sent.';

create function public.stores_withdraw_invitation(p_brand uuid, p_email text) returns void
language plpgsql security invoker set search_path = '' as $$
begin
    perform stores.require_owner(p_brand);
    delete from stores.brand_invitations i where i.brand_id = p_brand and i.email = lower(btrim(p_email));
    if not found then
        raise sqlstate 'PT404' using message = 'There is no such invitation.';
    end if;
end $$;
comment on function public.stores_withdraw_invitation is 'Takes back an invitation to a brand that the caller owns';

create function public.stores_set_member_role(p_brand uuid, p_user uuid, p_role text) returns void
language plpgsql security invoker set search_path = '' as $$
begin
    perform stores.require_owner(p_brand);
    if p_role is null or p_role not in ('owner', 'admin', 'viewer') then
        raise sqlstate 'PT400' using message = 'The role is owner, admin or viewer.';
    end if;
    update stores.brand_members m set role = p_role where m.brand_id = p_brand and m.user_id = p_user;
    if not found then
        raise sqlstate 'PT404' using message = 'There is no such member.';
    end if;
end $$;
comment on function public.stores_set_member_role is 'Changes what a member of a brand that the caller owns may do';

create function public.stores_remove_member(p_brand uuid, p_user uuid) returns void
language plpgsql security invoker set search_path = '' as $$
begin
    if p_user is distinct from (select auth.uid()) then
        perform stores.require_owner(p_brand);
    end if;
    delete from stores.brand_members m where m.brand_id = p_brand and m.user_id = p_user;
    if not found then
        raise sqlstate 'PT404' using message = 'There is no such member.';
    end if;
end $$;
comment on function public.stores_remove_member is
    'Removes a member of a brand that the caller owns, or the caller themselves; the last owner stays';

create function public.stores_my_invitations()
returns table (brand_id uuid, brand text, role text, invited_by text, expires_at timestamptz)
language sql stable security invoker set search_path = '' as $$ select * from stores.my_invitations() $$;
comment on function public.stores_my_invitations is 'The brands that the caller''s confirmed address is invited to, and by whom';

create function public.stores_answer_invitation(p_brand uuid, p_accept boolean) returns text
language sql security invoker set search_path = '' as $$ select stores.answer_invitation(p_brand, p_accept) $$;
comment on function public.stores_answer_invitation is 'Accepts or declines; the role that the caller has from now on, or null';

revoke all on function stores.owned_brands(), stores.keep_an_owner(), stores.addresses_of(uuid), stores.my_address(),
    stores.my_invitations(), stores.answer_invitation(uuid, boolean), stores.require_owner(uuid),
    public.stores_members(uuid), public.stores_invite(uuid, text, text), public.stores_withdraw_invitation(uuid, text),
    public.stores_set_member_role(uuid, uuid, text), public.stores_remove_member(uuid, uuid),
    public.stores_my_invitations(), public.stores_answer_invitation(uuid, boolean) from public, anon;
grant execute on function stores.owned_brands(), stores.addresses_of(uuid), stores.my_address(), stores.my_invitations(),
    stores.answer_invitation(uuid, boolean), stores.require_owner(uuid), public.stores_members(uuid),
    public.stores_invite(uuid, text, text), public.stores_withdraw_invitation(uuid, text),
    public.stores_set_member_role(uuid, uuid, text), public.stores_remove_member(uuid, uuid),
    public.stores_my_invitations(), public.stores_answer_invitation(uuid, boolean) to authenticated, service_role;
