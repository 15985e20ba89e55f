<?php

// What raw.php answers, for php-fpm.
header('Content-Type: text/plain');
echo 'Hello RoadRunner!';
