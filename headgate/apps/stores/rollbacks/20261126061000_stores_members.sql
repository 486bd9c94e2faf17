drop function public.stores_answer_invitation(uuid, boolean), public.stores_my_invitations(),
    public.stores_remove_member(uuid, uuid), public.stores_set_member_role(uuid, uuid, text),
    public.stores_withdraw_invitation(uuid, text), public.stores_invite(uuid, text, text), public.stores_members(uuid);
drop trigger brand_members_keep_an_owner on stores.brand_members;
drop table stores.brand_invitations;
revoke update (role), delete on stores.brand_members from authenticated;
drop policy brand_members_leave_or_remove on stores.brand_members;
drop policy brand_members_change_owned on stores.brand_members;
alter policy brand_members_read on stores.brand_members using (user_id = (select auth.uid()));
drop function stores.require_owner(uuid), stores.answer_invitation(uuid, boolean), stores.my_invitations(),
    stores.my_address(), stores.addresses_of(uuid), stores.keep_an_owner(), stores.owned_brands();
