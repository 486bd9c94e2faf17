drop table control.rollup_dirty;
