<?php
fwrite(STDERR, "PHP Fatal error:  Uncaught Error: no database\n");
exit(255);
