// The console's own areas: name in the address, title, module, and for whom they are offered (all, user, admin).
export const AREAS = [
  { name: "overview", title: "Overview", module: "overview.js", icon: "home", group: "", for: "all" },
  { name: "tables", title: "Tables", module: "tables.js", icon: "table", group: "Data", for: "all" },
  { name: "sql", title: "SQL", module: "sql.js", icon: "code", group: "Data", for: "admin" },
  { name: "runs", title: "Runs", module: "runs.js", icon: "runs", group: "Operation", for: "user" },
  { name: "jobs", title: "Jobs", module: "jobs.js", icon: "jobs", group: "Operation", for: "admin" },
  { name: "logs", title: "Logs", module: "logs.js", icon: "logs", group: "Operation", for: "admin" },
  { name: "users", title: "Users", module: "users.js", icon: "users", group: "Services", for: "admin" },
  { name: "storage", title: "Storage", module: "storage.js", icon: "folder", group: "Services", for: "user" },
  { name: "realtime", title: "Realtime", module: "realtime.js", icon: "bolt", group: "Services", for: "user" },
  { name: "mail", title: "Mail", module: "mail.js", icon: "mail", group: "Services", for: "admin" },
  { name: "sign-in", title: "Sign in", module: "signin.js", hidden: true, for: "all" },
  { name: "account", title: "Account", module: "account.js", hidden: true, for: "user" },
];
