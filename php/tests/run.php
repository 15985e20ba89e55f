<?php

/**
 * Runs the tests of this library: `php php/tests/run.php [part of a name]`. Needs nothing but PHP.
 *
 * Each `*Test.php` returns an array of functions by name. A warning or notice fails a test. The last line is
 * `N tests, N assertions, N failures`; the exit code is 1 when something failed.
 */

declare(strict_types=1);

require __DIR__ . '/../autoload.php';
require __DIR__ . '/Support/assertions.php';
require __DIR__ . '/Support/messages.php';
require __DIR__ . '/Support/Peer.php';

\set_error_handler(static function (int $level, string $message, string $file, int $line): bool {
    if (\error_reporting() & $level) {
        throw new \ErrorException($message, 0, $level, $file, $line);
    }
    return false;
});

$only = $argv[1] ?? '';
$tests = $failures = 0;
foreach (\glob(__DIR__ . '/*Test.php') as $file) {
    foreach (require $file as $name => $test) {
        $name = \basename($file, 'Test.php') . ': ' . $name;
        if ($only !== '' && !\str_contains($name, $only)) {
            continue;
        }
        $tests++;
        try {
            $test();
        } catch (\Throwable $error) {
            $failures++;
            echo "FAILED $name\n  ", \get_class($error), ': ', $error->getMessage(), "\n";
            foreach ($error->getTrace() as $frame) {
                echo '    ', $frame['file'] ?? '-', ':', $frame['line'] ?? '-', "\n";
            }
        }
    }
}
\printf("%d tests, %d assertions, %d failures\n", $tests, assertions(), $failures);
exit($failures === 0 && $tests > 0 ? 0 : 1);
