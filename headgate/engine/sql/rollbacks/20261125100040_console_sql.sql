drop function console.run_sql;
