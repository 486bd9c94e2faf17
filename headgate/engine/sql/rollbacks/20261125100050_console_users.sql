drop function console.sign_ins, console.change_user, console.create_user, console.users, console_private.sign_ins,
  console_private.change_user, console_private.create_user, console_private.users;
