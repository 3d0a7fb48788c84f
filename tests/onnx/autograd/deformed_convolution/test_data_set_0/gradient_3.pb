B	gradient3J Sİ¯Î÷Ï?@.¡‘1®A@X:!×8B@œ,
7FD@