-- What a run that somebody wanted of a schedule is given, where that is not what the schedule's other runs are: JSON.
alter table schedule_occurrences add column input text;
