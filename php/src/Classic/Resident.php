<?php

declare(strict_types=1);

namespace Rr\Classic;

use Rr\Http\HttpWorker;
use Rr\Http\Request;
use Rr\Http\UploadedFile;
use Rr\Relay;
use Rr\Worker;

/**
 * The life of a plain script in a resident process: the parts of the loop in `bin/rr-classic`.
 *
 * For each request: fill the superglobals, run the script, run its shutdown functions, send what it printed, forget its
 * global variables. If it calls exit() the process ends, and on its way out completes the answer and has itself replaced.
 */
final class Resident
{
    private static HttpWorker $worker;
    private static string $script;
    /** Each request gets a new process. */
    private static bool $fresh;
    /** `$_SERVER` as it is before each request. */
    private static array $server;

    private static ?Request $request = null;
    private static ?\Closure $handler = null;
    /** @var list<\Closure> the script's shutdown functions */
    private static array $atEnd = [];
    /** The answer has been sent. */
    private static bool $answered = true;
    private static bool $checked = false;
    /** Destroyed at the end of the process, also by exit(). */
    private static object $sentinel;

    public static function start(string $script, bool $fresh): void
    {
        self::$script = $script;
        self::$fresh = $fresh;
        self::$worker = new HttpWorker(new Worker(Relay::fromEnvironment(\tmpfile())));
        Output::install(self::$worker);
        $name = '/' . \basename($script);
        self::$server = [
            'DOCUMENT_ROOT' => \dirname($script), 'SCRIPT_FILENAME' => $script, 'SCRIPT_NAME' => $name, 'PHP_SELF' => $name,
            'GATEWAY_INTERFACE' => 'CGI/1.1', 'SERVER_SOFTWARE' => 'RoadRunner/' . \getenv('RR_VERSION'),
            'argv' => [], 'argc' => 0,
        ] + \getenv();
        self::$sentinel = new class (self::ended(...)) {
            public function __construct(private readonly \Closure $ended)
            {
            }

            public function __destruct()
            {
                ($this->ended)();
            }
        };
    }

    /** Waits for a request and sets the stage; false when the process shall end. */
    public static function next(): bool
    {
        $request = self::$worker->receive();
        if ($request === null) {
            return false;
        }
        self::$request = $request;
        self::$answered = false;
        Answer::begin();
        Globals::fill($request, self::$server);
        Session::begin($request->cookies);
        $multipart = $request->uploads !== '' || \str_contains($request->header('Content-Type'), 'multipart/form-data');
        Input::install(match (true) {
            !$request->parsed => $request->body,
            $multipart => '', // As under PHP-FPM.
            default => \http_build_query($request->form()),
        });
        \getcwd() === self::$server['DOCUMENT_ROOT'] or \chdir(self::$server['DOCUMENT_ROOT']);
        Output::begin();
        return true;
    }

    public static function script(): string
    {
        return self::$script;
    }

    /** What the script returned earlier, if that was a function: it stands for the script then. */
    public static function handler(): ?\Closure
    {
        return self::$handler;
    }

    /** Takes what the script returned. A function is called now, and in each further request without the script. */
    public static function returned(mixed $value): void
    {
        if ($value instanceof \Closure) {
            self::$handler = $value;
            $value();
        }
    }

    /** The script has thrown something. */
    public static function thrown(\Throwable $error): void
    {
        $handler = \set_exception_handler(null);
        \restore_exception_handler();
        if ($handler !== null) {
            try {
                $handler($error);
                return;
            } catch (\Throwable $error) {
                // Reported as if there was no handler.
            }
        }
        $text = "PHP Fatal error:  Uncaught $error";
        \error_log($text);
        if (Answer::current()->code(0) === 200) {
            Answer::current()->code(500);
        }
        if (\filter_var(\ini_get('display_errors'), \FILTER_VALIDATE_BOOL)) {
            echo "\n$text\n";
        }
    }

    public static function atEnd(\Closure $function): void
    {
        self::$atEnd[] = $function;
    }

    /** The script is through. */
    public static function finish(): void
    {
        self::complete();
        Input::remove();
        Globals::clear();
        Session::clear();
        self::$request = null;
        if (self::$fresh || Output::usedRaw() || self::cannotRunAgain()) {
            self::$worker->retire();
            exit;
        }
    }

    /** The script wants its answer to be sent although it goes on. */
    public static function finishEarly(): bool
    {
        if (self::$answered) {
            return false;
        }
        self::send();
        \ob_start(static fn (): string => ''); // Nobody hears the rest.
        return true;
    }

    /** @return array<string, string> */
    public static function requestHeaders(): array
    {
        $headers = ['Host' => (string) self::$request?->host()];
        foreach (self::$request?->headers ?? [] as $name => $values) {
            $headers[$name] = \implode(', ', $values);
        }
        return $headers;
    }

    public static function uploaded(string $path): bool
    {
        $found = false;
        $files = self::$request?->files() ?? [];
        \array_walk_recursive($files, static function (UploadedFile $file) use ($path, &$found): void {
            $found = $found || ($file->error === \UPLOAD_ERR_OK && $file->path === $path);
        });
        return $found;
    }

    /** What filter_input() looks at: the input as it came. */
    public static function input(int $type): array
    {
        $request = self::$request;
        return $request === null ? [] : match ($type) {
            \INPUT_GET => $request->query(),
            \INPUT_POST => $request->form(),
            \INPUT_COOKIE => $request->cookies,
            \INPUT_SERVER => Globals::server($request, self::$server),
            \INPUT_ENV => \getenv(),
            default => throw new \ValueError('filter_input(): Argument #1 ($type) must be an INPUT_* constant'),
        };
    }

    /** Runs the shutdown functions and sends the answer. */
    private static function complete(): void
    {
        while (self::$atEnd !== []) {
            try {
                \array_shift(self::$atEnd)();
            } catch (\Throwable $error) {
                self::thrown($error);
            }
        }
        self::$answered or self::send();
        while (\ob_get_level() > 0) {
            \ob_end_clean();
        }
    }

    private static function send(): void
    {
        Session::close();
        $body = Output::end();
        self::$answered = true;
        self::$worker->finish(Answer::current()->head(), $body);
    }

    /** The process ends. In the middle of a request that is exit(): the answer is what there is so far. */
    private static function ended(): void
    {
        if (self::$request !== null) {
            self::complete();
            self::$worker->retire();
        }
    }

    /** Whether the script itself declares functions or classes, which PHP does not let it do twice. Looked at once. */
    private static function cannotRunAgain(): bool
    {
        if (self::$checked || self::$handler !== null) {
            return false;
        }
        self::$checked = true;
        foreach (\get_defined_functions()['user'] as $function) {
            if ((new \ReflectionFunction($function))->getFileName() === self::$script) {
                return self::notAgain("the function $function()");
            }
        }
        foreach (\get_declared_classes() as $class) {
            if ((new \ReflectionClass($class))->getFileName() === self::$script && !\str_contains($class, '@anonymous')) {
                return self::notAgain("the class $class");
            }
        }
        return false;
    }

    private static function notAgain(string $what): bool
    {
        \error_log(self::$script . " declares $what, so each request needs a new process; in a file of its own, loaded"
            . ' by require_once, it would not');
        return true;
    }
}
