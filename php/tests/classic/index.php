<?php

/** A plain script as people write them, for the tests of rr-classic: what it does is named by the path. */

require_once __DIR__ . '/counter.php';

$leaked = ($leaked ?? 0) + 1;
global $alsoGlobal;

switch (parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH)) {
    case '/count':
        echo 'count ', Counter::up(), ' leaked ', $leaked, ' pid ', getmypid();
        break;
    case '/variables':
        header('Content-Type: application/json');
        echo json_encode([
            'get' => $_GET, 'post' => $_POST, 'cookie' => $_COOKIE, 'files' => $_FILES, 'request' => $_REQUEST,
            'server' => $_SERVER, 'input' => file_get_contents('php://input'), 'headers' => getallheaders(),
            'filter' => [filter_input(INPUT_GET, 'n', FILTER_VALIDATE_INT), filter_input(INPUT_GET, 'none')],
            'cwd' => getcwd(),
        ]);
        break;
    case '/headers':
        header('HTTP/1.1 404 Not Found');
        header('X-One: 1');
        header('x-one: 2');
        header('X-Two: a');
        header('X-Two: b', false);
        header('X-Gone: x');
        header_remove('x-gone');
        setcookie('plain', 'a b');
        setcookie('full', 'v', ['path' => '/', 'secure' => true, 'httponly' => true, 'samesite' => 'Lax']);
        header_register_callback(static fn () => header('X-Late: yes'));
        echo json_encode([headers_list()[0], headers_sent(), http_response_code()]);
        break;
    case '/redirect':
        header('Location: /elsewhere');
        exit;
    case '/exit':
        register_shutdown_function(static function (): void {
            echo ', shut down';
        });
        http_response_code(418);
        ob_start();
        echo 'exited';
        exit(0);
    case '/throw':
        echo 'before';
        throw new RuntimeException('nobody catches me');
    case '/session':
        session_start();
        echo $_SESSION['n'] = ($_SESSION['n'] ?? 0) + 1;
        break;
    case '/late-session':
        echo 'head';
        ob_flush();
        session_start();
        echo session_id();
        break;
    case '/named-session':
        session_name('mine');
        session_start();
        echo $_SESSION['n'] = ($_SESSION['n'] ?? 0) + 1;
        break;
    case '/stream':
        for ($i = 0; $i < 3; $i++) {
            echo $i;
            ob_flush();
            flush();
        }
        header('X-Too-Late: yes');
        echo 'rest';
        break;
    case '/endless':
        for ($i = 0; ; $i++) {
            echo $i, '|';
            ob_flush();
            flush();
            usleep(1000);
        }
    case '/download':
        while (ob_get_level() > 0) {
            ob_end_clean();
        }
        echo 'one ';
        ob_start();
        echo 'two';
        break;
    case '/buffers':
        echo 'a';
        ob_start();
        echo 'b';
        ob_start();
        echo 'dropped';
        ob_end_clean();
        break;
    case '/upload':
        $path = $_FILES['f']['tmp_name'];
        echo json_encode([
            is_uploaded_file(__FILE__), is_uploaded_file($path), move_uploaded_file(__FILE__, "$path.no"),
            move_uploaded_file($path, "$path.moved"), file_get_contents("$path.moved"), unlink("$path.moved"),
        ]);
        break;
    case '/early':
        echo 'early';
        fastcgi_finish_request();
        error_log('still here');
        echo 'unheard';
        break;
    case '/memory-stream':
        $stream = fopen('php://memory', 'w+');
        fwrite($stream, 'kept');
        rewind($stream);
        echo stream_get_contents($stream), ' ', file_get_contents('php://input'), ' ', file_get_contents('php://input');
        break;
    case '/warning':
        echo 'shown', $undefined;
        break;
}
