<?php

declare(strict_types=1);

// Runs beside the workers, started and watched by the server; what it prints goes to the log.
while (true) {
    echo 'It is ', \date('H:i:s'), "\n";
    \sleep(60);
}
