drop function console.switch_schedule, console_private.switch_schedule, console.act_on_job, console_private.act_on_job,
  console.overview, console_private.overview;
