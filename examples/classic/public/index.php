<?php

// A plain front controller, as for PHP-FPM: nothing in it knows of workers.

require_once __DIR__ . '/../src/guestbook.php';

$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);

if ($path === '/sign' && $_SERVER['REQUEST_METHOD'] === 'POST') {
    setcookie('name', $_POST['name'] ?? '', ['path' => '/', 'httponly' => true, 'samesite' => 'Lax']);
    $file = $_FILES['file'] ?? null;
    $size = $file !== null && $file['error'] === UPLOAD_ERR_OK ? $file['size'] : 0;
    Guestbook::sign($_POST['name'] ?? '', $size);
    header('Location: /', true, 303);
    return;
}

if ($path === '/bye') {
    exit("exit() works; it costs this process, which is replaced.\n");
}

if ($path !== '/') {
    http_response_code(404);
    echo 'There is nothing here.';
    return;
}

$name = htmlspecialchars($_COOKIE['name'] ?? 'stranger');
?>
<!doctype html>
<title>Guestbook</title>
<h1>Hello, <?= $name ?></h1>
<p>Process <?= getmypid() ?> has kept these entries in memory since it started, and has served <?= Guestbook::visit() ?> visits:</p>
<ul>
<?php foreach (Guestbook::entries() as $entry): ?>
    <li><?= htmlspecialchars($entry) ?></li>
<?php endforeach ?>
</ul>
<form action="/sign" method="post" enctype="multipart/form-data">
    <input name="name" placeholder="your name">
    <input name="file" type="file">
    <button>Sign</button>
</form>
<p>You are at <?= htmlspecialchars($_SERVER['REMOTE_ADDR']) ?> with <?= htmlspecialchars($_SERVER['HTTP_USER_AGENT'] ?? 'an unknown browser') ?>.</p>
