INSERT INTO breaks ("user", "reason", "since", "set_by") VALUES ('sian','lunch',1794643260.0,'mair');
