<?php
echo "\nWarning: Undefined variable \$x in app.php on line 3\n";
sleep(60);
