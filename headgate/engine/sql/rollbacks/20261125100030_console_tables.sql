drop function console.catalog, console.table_info, console.table_rows, console.change_row, console_private.catalog,
  console_private.table_info, console_private.table_rows, console_private.change_row, console_private.assignments,
  console_private.condition, console_private.relation;
