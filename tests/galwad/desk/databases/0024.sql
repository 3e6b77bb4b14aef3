INSERT INTO text_lists ("name", "entries", "former", "changed", "changed_by") VALUES ('breaks','[["lunch", "Lunch", "Cinio canol dydd"]]','[["tea", "Tea", "Te"]]',1794643200.0,'gwen');
UPDATE users SET team = 'housing' WHERE name = 'sian';
