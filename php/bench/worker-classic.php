<?php

/** A plain script in the resident loop of bin/rr-classic. */

declare(strict_types=1);

$argv = [__FILE__, __DIR__ . '/classic/index.php'];
require __DIR__ . '/../bin/rr-classic';
