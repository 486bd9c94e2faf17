drop table public.rollup_dirty, public.rollup_days, public.rollup_hour_sections, public.rollup_hours;
drop type tickets.section_hour;
