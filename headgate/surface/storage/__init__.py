"""Files: buckets and objects below `/storage/v1`, as Supabase's storage clients expect them."""
